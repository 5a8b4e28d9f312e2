import os
os.environ["HF_HUB_OFFLINE"] = "1"
import jaxtyping
jaxtyping.install_import_hook("jaxsparse", "beartype.beartype")

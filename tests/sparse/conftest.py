"""What tests of sparse execution need: a compiler."""

import pytest

from jaxsparse import sparse


@pytest.fixture(scope="session")
def library():
    try:
        return sparse.library()
    except sparse.Unavailable as error:
        pytest.skip(str(error))

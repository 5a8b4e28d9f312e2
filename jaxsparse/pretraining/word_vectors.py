"""Embeddings to start from: what a corpus' tokens are like, from whom they stand near.

Levy & Goldberg (2014), "Neural word embedding as implicit matrix factorization": the
singular vectors of shifted-positive pointwise mutual information, here with a shift of
0, contexts smoothed by 0.75 and neighbours weighted by nearness (Levy et al. 2015).
"""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.linalg import svds

WINDOW = 3  # tokens to each side; one at distance d counts 1/d
SMOOTHING = 0.75
DENSE = 1000  # tokens; below, few may be of full rank, and ARPACK would not converge


def word_vectors(
    tokens: Int[np.ndarray, " token"], vocabulary: int, size: int
) -> Float[np.ndarray, "vocab found"]:
    """One row per token id; its entries have mean square 1 over the tokens that occur.

    There are `size` columns, or as many as there are tokens that occur.

    Tokens that never occur have a row of zeros. The same tokens give the same vectors.
    """
    seen, compact = np.unique(tokens, return_inverse=True)
    information = _positive_information(_cooccurrences(compact, len(seen)))
    left, values = _strongest(information, len(seen), min(size, len(seen)))
    # A singular vector's sign is chance.
    largest = np.abs(left).argmax(0)
    left = left * np.sign(left[largest, np.arange(len(values))])
    rows = left * np.sqrt(values)
    vectors = np.zeros((vocabulary, rows.shape[1]), np.float32)
    vectors[seen] = rows / np.sqrt(np.mean(rows**2))
    return vectors


def _strongest(
    matrix: scipy.sparse.csr_matrix, rows: int, count: int
) -> tuple[Float[np.ndarray, "row count"], Float[np.ndarray, " count"]]:
    """Left singular vectors of the largest singular values, and these, ascending."""
    if rows <= DENSE:
        left, values, _ = np.linalg.svd(matrix.toarray())
        return left[:, :count][:, ::-1], values[:count][::-1]
    start = np.random.default_rng(0).standard_normal(rows)
    left, values, _ = svds(matrix, k=count, v0=start)
    assert left is not None  # since vectors are asked for
    return left, values


def _cooccurrences(
    tokens: Int[np.ndarray, " token"], vocabulary: int
) -> scipy.sparse.csr_matrix:
    shape = vocabulary, vocabulary
    total = scipy.sparse.csr_matrix(shape)
    for distance in range(1, WINDOW + 1):
        pairs = tokens[:-distance], tokens[distance:]
        ones = np.ones(len(pairs[0]))
        total += scipy.sparse.coo_matrix((ones, pairs), shape).tocsr() / distance
    return total + total.T


def _positive_information(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """PPMI: how much likelier a pair is than its frequencies say, in nats, if it is."""
    frequency = np.asarray(counts.sum(1)).ravel()
    context = frequency**SMOOTHING
    context /= context.sum()
    pairs = counts.tocoo()
    expected = frequency[pairs.row] * context[pairs.col]
    information = np.maximum(np.log(pairs.data / expected), 0)
    return scipy.sparse.csr_matrix((information, (pairs.row, pairs.col)), counts.shape)

"""Where rows come from. One file per kind of source; each function returns ``Data(train, test)``.

=============  =======================================================================
file           what
=============  =======================================================================
source.py      Batch, Source, Data, and the stream of batches
digits.py      scikit-learn's handwritten digits
mixtures.py    two-dimensional mixtures of Gaussians
arrays.py      arrays in memory, .npy, .npz
parquet.py     images in Parquet files
official.py    the paper's sets from their official files
=============  =======================================================================
"""

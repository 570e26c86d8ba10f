"""Where rows come from. One file per kind of source; each function returns ``Data(train, test)``.

=====================  =====================================================================================
file                   what
=====================  =====================================================================================
source.py              Batch, Source, Data, and the stream of batches
digits.py              scikit-learn's handwritten digits
mixtures.py            two-dimensional mixtures of Gaussians
labels.py              classes and attributes: which columns hold them, how they are numbered
images.py              images from any of the next eight: one size, one mode, what is done with bad ones
arrays.py              arrays in memory, .npy, .npz
folders.py             folders of picture files, with parts and classes
matlab.py              MATLAB files: arrays of numbers
metadata.py            metadata.csv beside pictures: their classes and attributes
parquet.py             images in Parquet files
tars.py                images in tar archives, also WebDataset's
streams.py             images decoded when they are asked for: for data larger than memory, without preparation
store.py               images decoded once, read row by row: for data larger than memory
hub.py                 images from the Hugging Face hub
pixels.py              one picture: upright, grey or colour, cropped, resized
tables.py              tables: CSV, Parquet, arrays, data frames
texts.py               CSV files as cells of text: delimiter, encoding, decimal mark
official.py            the paper's sets from their official files, which the next three read
official_checksums.py  official files byte for byte, and whether they are the published ones
official_formats.py    the formats of MNIST, CIFAR-10 and SVHN
official_pictures.py   the pictures of CelebA and ImageNet, CelebA's attributes
=====================  =====================================================================================
"""

"""Convolution as multiplication of spectra, where a C kernel for it could be compiled."""

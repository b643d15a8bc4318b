"""icploop keeps an Ideal Customer Profile true by what customers did afterwards."""

__version__ = "0.1.0"

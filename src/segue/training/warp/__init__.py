"""Joint embedding of frames and labels by the WARP loss (Hamel et al. 2013, section 5)."""

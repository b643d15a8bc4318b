"""Pure statistics and learning: frames and values in, frames and values out."""

"""The readable ICP: few lines, whole points, evidence."""

"""The door for GDAL's programs: VRTs, and the function that they call."""

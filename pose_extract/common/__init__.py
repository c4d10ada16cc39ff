"""What every folder uses: files, devices, geometry, safe unpickling."""

"""The claim: arrays in, schedule out. Imports neither hcsim nor OpenDSS, and sees no file and no terminal."""

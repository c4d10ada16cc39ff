"""The networks themselves: plain PyTorch modules, their shapes, and MMPose's."""

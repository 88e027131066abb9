"""The recipe of `exported/fsenet-i3d`: the starter's sequences with a third stream, I3D features of pictures."""

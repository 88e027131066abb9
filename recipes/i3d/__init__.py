"""What trains `exported/fsenet-i3d`: the starter's sequences with a third stream, I3D's features of pictures."""

"""When pictures and sound come: rates and mended time stamps."""

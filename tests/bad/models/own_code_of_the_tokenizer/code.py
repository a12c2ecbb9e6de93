from pathlib import Path

Path("owned").write_text("this code ran")

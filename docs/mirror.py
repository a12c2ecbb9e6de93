"""A hook of mkdocs: the site's pages lie where they lie in the repository, so that one relative link serves both."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SHOWN = (
    "*.md",
    "docs/**/*.md",
    "docs/*.png",
    "docs/*.css",
    "docs/*.js",
    "benchmarks/*.md",
    "benchmarks/*.svg",
    "recipes/**/*.yaml",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replaces the files of docs/ by theirs and README's by their paths from the root; keeps the theme's."""
    root = Path(config.config_file_path).parent
    own = Path(config.docs_dir)
    kept = [file for file in files if not (file.abs_src_path and Path(file.abs_src_path).is_relative_to(own))]
    found = sorted({path for pattern in (*SHOWN, "devices/*.yaml", "LICENSE") for path in root.glob(pattern)})
    for path in found:
        name = path.relative_to(root).as_posix()
        kept.append(File(name, str(root), config.site_dir, config.use_directory_urls))
    return Files(kept)

def test_the_package_imports() -> None:
    import acumen._native  # noqa: F401

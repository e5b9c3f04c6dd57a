"""A cache that learns which answers come again, in front of a real database.

Customers look at products: some products are popular, new ones come up, and every now and then a
report reads through all of them, which is what makes a least-recently-used cache forget.

    python examples/cached_queries.py
"""

import functools
import random
import sqlite3
from collections.abc import Callable, Iterator

import acumen

PRODUCTS = 20_000
ENTRIES = 1_000


def open_shop() -> sqlite3.Connection:
    """A database of products."""
    shop = sqlite3.connect(":memory:")
    shop.execute("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
    rows = ((i, f"product {i}", i % 997 / 10) for i in range(PRODUCTS))
    shop.executemany("INSERT INTO product VALUES (?, ?, ?)", rows)
    return shop


def visits(seed: int) -> Iterator[int]:
    """Product numbers in the order in which they are looked at."""
    rng = random.Random(seed)
    for day in range(30):
        for _ in range(4_000):
            popular = int(rng.paretovariate(0.9)) - 1
            yield (popular + day * 40) % PRODUCTS  # what is popular moves on
        yield from range(day * 500, day * 500 + 2_000)  # the report


def hit_ratio(decorate: Callable[..., Callable[[int], object]]) -> float:
    """Share of visits that needed no query."""
    shop = open_shop()

    @decorate
    def product(number: int) -> object:
        return shop.execute("SELECT * FROM product WHERE id = ?", (number,)).fetchone()

    for number in visits(seed=1):
        product(number)
    info = product.cache_info()
    return info.hits / (info.hits + info.misses)


if __name__ == "__main__":
    print(f"functools.lru_cache  {hit_ratio(functools.lru_cache(maxsize=ENTRIES)):.1%} hits")
    print(f"acumen.cached        {hit_ratio(acumen.cached(maxsize=ENTRIES)):.1%} hits")

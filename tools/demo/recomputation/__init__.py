"""What every receipt must come to, worked out a second time from the files of the data set.

Nothing of the platform takes part: DuckDB reads the parquet files, and the SQL beside this module
holds the program's numbers in its own words. Taken from the platform is only what no data set could
know: how much shoppers chose to pay with points, and who came first where there was not enough for
everybody (a budget, a code with so many uses).
"""

from tools.demo.recomputation.books import Books, Chosen, recompute

__all__ = ["Books", "Chosen", "recompute"]

"""Photos by the million: labelled by one process or a pool of Ray's actors, into Parquet files that a later run goes on
from."""

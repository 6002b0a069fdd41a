"""One module for each measurement: `measure` does it and returns raw results, `summarise` makes figures of them."""

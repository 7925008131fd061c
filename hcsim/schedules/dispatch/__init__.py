"""Anyone's dispatch read into a `Schedule`: cells, times, columns, signs, units, and a sentence for every guess."""

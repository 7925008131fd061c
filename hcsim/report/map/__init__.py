"""The feeder to point at: where buses are drawn, and what a page's script is told of them."""

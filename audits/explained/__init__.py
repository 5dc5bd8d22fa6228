"""What pages and exports show of an explanation: which output and rows are asked for, and the charts of them."""

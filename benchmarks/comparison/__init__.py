"""FlexAction's idea beside the other strategies: runs, statistics and the page that shows them."""

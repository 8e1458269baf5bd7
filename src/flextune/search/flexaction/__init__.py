"""FlexAction: deep Q-learning over macro-actions."""

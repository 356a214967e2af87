"""What ties the steps of the dock together."""

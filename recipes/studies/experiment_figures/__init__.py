"""What the experiment report says: its material, figures, targets, text and plots."""

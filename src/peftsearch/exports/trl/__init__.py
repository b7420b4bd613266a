"""The script that trains a found configuration with TRL."""

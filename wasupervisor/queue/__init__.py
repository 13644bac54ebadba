"""Bull and BullMQ: how much waits, how much failed, and how a person has it tried again."""

"""wasupervisor: keeps the sessions of one self-hosted WhatsApp gateway alive, without making it worse."""

__version__ = "0.1.0"

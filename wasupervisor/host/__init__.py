"""The machine around the gateway: its process, and the uplink to WhatsApp."""

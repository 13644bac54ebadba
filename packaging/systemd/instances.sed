# Makes wasupervisor@.service, where one host has several gateways:
#   sed -f instances.sed wasupervisor.service >wasupervisor@.service
1i\
# wasupervisor@NAME.service: one for each gateway of a host. Made by instances.sed: edit wasupervisor.service.\
# NAME.yaml, NAME.environment and /etc/credstore/wasupervisor.NAME.api_key are its own, and so are the folders NAME in\
# /run/wasupervisor and /var/lib/wasupervisor. health.listen must be another one in each configuration.\

/^Description=/s/(wasupervisor)/(wasupervisor@%i)/
/^ExecStart=/s/config\.yaml/%i.yaml/
/^EnvironmentFile=/s/environment$/%i.environment/
/^LoadCredential=/s/wasupervisor\./wasupervisor.%i./
/^StateDirectory=/s/$/\/%i/
/^RuntimeDirectory=/s/$/\/%i/
# The rest of the reasons stands there.
/^#/d

"""OpenStack Swift with its S3 interface: all its servers in this one process, one device, one replica.

    swift-server.py FOLDER ACCESS_KEY SECRET_KEY CERTIFICATE

Keeps everything in FOLDER, and prints the ports on 127.0.0.1 at which it serves S3: by HTTP, and by HTTPS with the certificate
and its key in the file CERTIFICATE.
"""

import os
import sys

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi
from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import SwiftHttpProtocol, loadapp

folder, access_key, secret_key, certificate = sys.argv[1:]

# What one server waits for another: by default half a second to be connected, 1 s until a container server knows of an object that is
# to be listed, and 3 to 10 s otherwise, too little for a busy machine. After ten errors nobody is asked for a minute.
PATIENCE = """
conn_timeout = 60
node_timeout = 60
container_update_timeout = 60
error_suppression_limit = 1000000
"""
# Swift wants a cache configured, and does without one when nobody answers there.
BACK = f"""
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
{PATIENCE}
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#%s
"""
FILTERS = "catch_errors gatekeeper cache listing_formats s3api tempauth bulk copy slo dlo versioned_writes symlink".split()
SETTINGS = {
    "cache": "memcache_servers = 127.0.0.1:1",
    "s3api": "min_segment_size = 1\nmax_bucket_listing = 100",
    "tempauth": f"user_{access_key.replace(':', '_')} = {secret_key} .admin",
    "versioned_writes": "allow_object_versioning = true",
}
PROXY = f"""
[DEFAULT]
swift_dir = {folder}
{PATIENCE}
[pipeline:main]
pipeline = {' '.join(FILTERS)} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
""" + "".join(
    f"[filter:{name}]\nuse = egg:swift#{'memcache' if name == 'cache' else name}\n{SETTINGS.get(name, '')}\n"
    for name in FILTERS
)


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def listen():
    listener = eventlet.listen(("127.0.0.1", 0), backlog=512)
    return listener, listener.getsockname()[1]


def serve(listener, app):
    # The S3 interface needs header names as they are written: ETag, not Etag.
    options = {"protocol": SwiftHttpProtocol, "capitalize_response_headers": False}
    eventlet.spawn(wsgi.server, listener, app, utils.NullLogger(), **options)


os.makedirs(f"{folder}/devices/one")
write("swift.conf", "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = one\ndefault = yes\n")
utils.set_swift_dir(folder)
for kind in ("account", "container", "object"):
    listener, port = listen()
    ring = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one", "weight": 1})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{kind}.ring.gz")
    serve(listener, loadapp(write(f"{kind}.conf", BACK % kind)))
proxy = loadapp(write("proxy.conf", PROXY))
(plain, plain_port), (secure, secure_port) = listen(), listen()
serve(plain, proxy)
serve(eventlet.wrap_ssl(secure, certfile=certificate, server_side=True), proxy)
print(plain_port, secure_port, flush=True)
eventlet.event.Event().wait()

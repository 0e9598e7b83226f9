"""Reads all directory documents of a relay with stem's directory client and prints how many of each it got."""
import sys

import stem
import stem.descriptor.remote as remote

host, kind, port = "127.0.0.1", sys.argv[1], int(sys.argv[2])
endpoint = stem.DirPort(host, port) if kind == "dir" else stem.ORPort(host, port, [4, 5])
compression = {
    "plain": [remote.Compression.PLAINTEXT],
    "gzip": [remote.Compression.GZIP],
    "zstd": [remote.Compression.ZSTD],
}[sys.argv[3]]


def read(resource):
    query = remote.Query(
        resource, endpoints=[endpoint], compression=compression, validate=False, retries=0, timeout=60
    )
    return query.run(suppress=False)


consensus = read("/tor/status-vote/current/consensus")
microdesc_consensus = read("/tor/status-vote/current/consensus-microdesc")
hashes = [router.microdescriptor_digest for router in microdesc_consensus]
print("consensus", len(consensus), len(microdesc_consensus))
# Over an ORPort, stem sends requests of one cell only.
parts = [hashes[i:i + 4] for i in range(0, len(hashes), 4)]
print("microdescriptors", sum(len(read("/tor/micro/d/" + "-".join(part))) for part in parts))
print("descriptors", len(read("/tor/server/all")))
print("extra-infos", len(read("/tor/extra/all")))
print("certificates", len(read("/tor/keys/all")))

// SPDX-License-Identifier: MIT
#include "payload/hash.h"

#include <errno.h>
#include <sodium.h>

int payload_hash(const void *data, size_t size, uint8_t hash[PAYLOAD_HASH_SIZE])
{
	if (sodium_init() < 0)
		return -EIO;
	return crypto_generichash(hash, PAYLOAD_HASH_SIZE, data, size, NULL, 0) ? -EIO : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The hash of a whole old function in a record: BLAKE2b-256 (libsodium), over the bytes as they are in the
 * target's file. Written by `usplice cc`, compared before anything is patched.
 */
#ifndef PAYLOAD_HASH_H
#define PAYLOAD_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define PAYLOAD_HASH_SIZE 32

/* 0, or -EIO when libsodium cannot be initialised. Thread safe. */
_must_check_ int payload_hash(const void *data, size_t size, uint8_t hash[PAYLOAD_HASH_SIZE]);

#endif

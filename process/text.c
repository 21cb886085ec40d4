// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX  31
#define PAGE_SIZE 4096u
#define USER_END  (UINT64_C(1) << 56)

/* Where writing stopped: n, or fewer bytes and -errno in *error. */
static size_t write_bytes(const struct target *target, uint64_t address, const uint8_t *bytes, size_t n,
			  int *error)
{
	size_t done = 0;
	*error = 0;
	while (done < n) {
		ssize_t w = pwrite(target->memfd, bytes + done, n - done, (off_t)(address + done));
		if (w > 0) {
			done += (size_t)w;
		} else if (w == 0) {
			*error = -ESRCH; /* no address space any more */
			break;
		} else if (errno != EINTR) {
			*error = errno == EIO ? -EFAULT : -errno;
			break;
		}
	}
	return done;
}

int text_write(const struct target *target, uint64_t address, const void *expected, const void *bytes,
	       size_t n)
{
	uint8_t now[TEXT_MAX];
	if (n < 1 || n > TEXT_MAX)
		return -EINVAL;
	int r = target_read(target, address, now, n);
	if (r < 0)
		return r;
	if (memcmp(now, expected, n) != 0)
		return -EBADMSG;
	size_t done = write_bytes(target, address, bytes, n, &r);
	if (done < n) {
		/* The page behind could not be written: nothing may stay half done. */
		int ignored;
		if (write_bytes(target, address, expected, done, &ignored) != done)
			return -EIO;
		return r;
	}
	r = target_read(target, address, now, n);
	if (r < 0)
		return r;
	return memcmp(now, bytes, n) != 0 ? -EIO : 0;
}

int text_prepare(const struct target *target, uint64_t address, size_t n)
{
	if (address >= USER_END || n > USER_END - address)
		return -EFAULT;
	uint64_t end = address + n;
	while (address < end) {
		uint8_t byte;
		int r = target_read(target, address, &byte, 1);
		if (r < 0)
			return r;
		/* Written by itself: the copy is made, and whoever runs there sees the same byte. */
		if (write_bytes(target, address, &byte, 1, &r) != 1)
			return r;
		address = (address | (PAGE_SIZE - 1)) + 1;
	}
	return 0;
}

// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/text.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define TEXT_MAX  31
#define AT_ONCE	  32
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

/* Whole, or not at all. */
static int replace(const struct target *target, const struct host_write *at)
{
	int r, ignored;
	size_t done = write_bytes(target, at->address, at->bytes, at->n, &r);
	/* The page behind could not be written: nothing may stay half done. */
	if (done < at->n && write_bytes(target, at->address, at->expected, done, &ignored) != done)
		return -EIO;
	return r;
}

static int write_one(const struct target *target, const struct host_write *at)
{
	uint8_t now[TEXT_MAX];
	if (at->n < 1 || at->n > TEXT_MAX)
		return -EINVAL;
	int r = target_read(target, at->address, now, at->n);
	if (r < 0)
		return r;
	if (memcmp(now, at->expected, at->n) != 0)
		return -EBADMSG;
	r = replace(target, at);
	if (r < 0)
		return r;
	r = target_read(target, at->address, now, at->n);
	if (r < 0)
		return r;
	return memcmp(now, at->bytes, at->n) != 0 ? -EIO : 0;
}

/* What stands at each of v, TEXT_MAX bytes apart, by one system call; false: it cannot be had so. */
static bool read_all(const struct target *target, const struct host_write *v, size_t n, uint8_t *now)
{
	struct iovec local[AT_ONCE], remote[AT_ONCE];
	size_t wanted = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i].n < 1 || v[i].n > TEXT_MAX)
			return false;
		local[i] = (struct iovec){now + i * TEXT_MAX, v[i].n};
		/* An address in the target, in the kernel's terms. */
		remote[i] = (struct iovec){(void *)(uintptr_t)v[i].address, v[i].n};
		wanted += v[i].n;
	}
	return process_vm_readv(target->pid, local, n, remote, n, 0) == (ssize_t)wanted;
}

static bool all_expected(const struct target *target, const struct host_write *v, size_t n)
{
	uint8_t now[AT_ONCE * TEXT_MAX];
	if (!read_all(target, v, n, now))
		return false;
	for (size_t i = 0; i < n; i++)
		if (memcmp(now + i * TEXT_MAX, v[i].expected, v[i].n) != 0)
			return false;
	return true;
}

/* Up to AT_ONCE of them. Where something is not as it should be it is done one by one, which finds out what. */
static int write_some(const struct target *target, const struct host_write *v, size_t n, size_t *done)
{
	uint8_t now[AT_ONCE * TEXT_MAX];
	size_t written = 0;
	int r = 0;
	*done = 0;
	if (n < 2 || !all_expected(target, v, n)) {
		while (*done < n && r == 0) {
			r = write_one(target, &v[*done]);
			*done += r == 0;
		}
		return r;
	}
	while (written < n && r == 0) {
		r = replace(target, &v[written]);
		written += r == 0;
	}
	if (!read_all(target, v, n, now))
		return r < 0 ? r : -EIO;
	while (*done < written && memcmp(now + *done * TEXT_MAX, v[*done].bytes, v[*done].n) == 0)
		++*done;
	return *done < written ? -EIO : r;
}

int text_write(const struct target *target, const struct host_write *v, size_t n, size_t *done)
{
	int r = 0;
	for (*done = 0; *done < n && r == 0;) {
		size_t left = n - *done, some;
		r = write_some(target, v + *done, left < AT_ONCE ? left : AT_ONCE, &some);
		*done += some;
	}
	return r;
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

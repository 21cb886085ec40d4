// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/target.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "process/proc_stat.h"

#define USER_END (UINT64_C(1) << 56) /* above any address of user space, with 5-level paging too */

/* ---- opening ---- */

static struct usp_error *not_there(pid_t pid)
{
	return usp_errorf(USP_NOT_FOUND, "there is no process %d", pid);
}

/* pid is no process: the id of a thread, or nothing at all? */
static struct usp_error *not_a_process(pid_t pid)
{
	char path[32];
	int64_t group;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (proc_status_read(AT_FDCWD, path, "Tgid", &group) < 0 || group == pid)
		return not_there(pid);
	return usp_errorf(USP_NOT_FOUND, "%d is a thread of process %d; name the process", pid, (int)group);
}

static struct usp_error *open_pidfd(struct target *target)
{
	target->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0); /* close-on-exec by itself */
	if (target->pidfd >= 0)
		return NULL;
	if (errno == ESRCH)
		return not_there(target->pid);
	if (errno == EINVAL || errno == ENOENT)
		return not_a_process(target->pid);
	return usp_error_errno(USP_FAILED, errno, "cannot get hold of process %d (pidfd_open)", target->pid);
}

static struct usp_error *open_directories(struct target *target)
{
	char path[32];
	int64_t group;
	snprintf(path, sizeof(path), "/proc/%d", target->pid);
	target->procfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->procfd < 0)
		return errno == ENOENT || errno == ESRCH
			       ? not_there(target->pid)
			       : usp_error_errno(USP_FAILED, errno, "cannot open %s", path);
	target->taskfd = openat(target->procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->taskfd < 0)
		return errno == ENOENT || errno == ESRCH
			       ? not_there(target->pid)
			       : usp_error_errno(USP_FAILED, errno, "cannot open %s/task", path);
	if (proc_status_read(target->procfd, "status", "Tgid", &group) < 0)
		return not_there(target->pid);
	if (group != target->pid)
		return not_a_process(target->pid);
	return NULL;
}

/* The leader has exited: looks at the process through a thread that has not. false: there is none. */
static bool open_live_thread(struct target *target)
{
	bool found = false;
	int fd = openat(target->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	for (struct dirent *entry; !found && (entry = readdir(dir));) {
		char path[280];
		struct proc_stat stat;
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/stat", entry->d_name);
		if (proc_stat_read(target->taskfd, path, &stat) < 0 || stat.state == 'Z' || stat.state == 'X')
			continue;
		int thread = openat(target->taskfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (thread < 0)
			continue;
		close(target->procfd);
		target->procfd = thread;
		found = true;
	}
	closedir(dir);
	return found;
}

static struct usp_error *check_kind(struct target *target)
{
	struct proc_stat stat;
	if (proc_stat_read(target->procfd, "stat", &stat) < 0)
		return not_there(target->pid);
	memcpy(target->name, stat.name, sizeof(target->name));
	target->start_time = stat.start_time;
	if (stat.flags & PROC_FLAG_KTHREAD)
		return usp_errorf(USP_UNSUPPORTED,
				  "process %d (%s) is a thread of the kernel; only programs can be patched",
				  target->pid, target->name);
	if ((stat.state == 'Z' || stat.state == 'X') && !open_live_thread(target))
		return usp_errorf(USP_NOT_FOUND,
				  "process %d (%s) has exited; only its parent has not taken notice yet",
				  target->pid, target->name);
	return NULL;
}

static struct usp_error *no_rights(const struct target *target, int errno_value, const char *what)
{
	return usp_error_errno(
		USP_FAILED, errno_value,
		"cannot open %s of process %d (%s); run as root or as its user, with ptrace allowed", what,
		target->pid, target->name);
}

static struct usp_error *check_program(struct target *target)
{
	Elf64_Ehdr header;
	_cleanup_close_ int fd = openat(target->procfd, "exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return no_rights(target, errno, "the program");
	if (fd < 0 && (errno == ENOENT || errno == ESRCH))
		return usp_errorf(USP_NOT_FOUND, "process %d (%s) is just exiting", target->pid,
				  target->name);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open the program of process %d (%s)",
				       target->pid, target->name);
	/* The smaller header of 32-bit programs has the same first fields. */
	ssize_t n = pread(fd, &header, sizeof(header), 0);
	if (n < (ssize_t)sizeof(Elf32_Ehdr) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return usp_errorf(USP_UNSUPPORTED, "the program of process %d (%s) is not an ELF file",
				  target->pid, target->name);
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return usp_errorf(USP_UNSUPPORTED,
				  "process %d (%s) is a 32-bit program; only 64-bit ones can be patched",
				  target->pid, target->name);
	if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
		return usp_errorf(USP_UNSUPPORTED,
				  "process %d (%s) is a program for another machine (ELF number %u); only "
				  "x86-64 can be patched",
				  target->pid, target->name, header.e_machine);
	return NULL;
}

/* Whether any thread has a seccomp filter: a thread may have one that the others do not. */
static void look_for_seccomp(struct target *target)
{
	int64_t mode = 0;
	int fd = openat(target->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		target->seccomp = true; /* not known: be prepared */
		return;
	}
	for (struct dirent *entry; !target->seccomp && (entry = readdir(dir));) {
		char path[280];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/status", entry->d_name);
		int r = proc_status_read(target->taskfd, path, "Seccomp", &mode);
		target->seccomp = r == 0 ? mode != 0 : r != -ENOENT && r != -ESRCH;
	}
	closedir(dir);
}

#define AUXV_EMPTY 16 /* bytes: the end mark alone */

/* The auxiliary vector, as much as fits; 0 when it cannot be read. Every exec makes a new one, at random
 * addresses. */
static size_t read_auxv(const struct target *target, uint8_t *auxv, size_t size)
{
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "auxv");
	ssize_t n = fd < 0 ? -1 : read(fd, auxv, size);
	return n > 0 ? (size_t)n : 0;
}

static struct usp_error *open_process(struct target *target)
{
	if (target->pid <= 0)
		return usp_errorf(USP_NOT_FOUND, "there is no process %d", target->pid);
	if (target->pid == getpid())
		return usp_errorf(USP_UNSUPPORTED, "a process cannot patch itself from outside (process %d)",
				  target->pid);
	struct usp_error *error = open_pidfd(target);
	if (!error)
		error = open_directories(target);
	/* The pidfd was there first: if its process lives now, /proc/PID was opened of the same one. */
	if (!error && !target_alive(target))
		error = usp_errorf(USP_NOT_FOUND, "process %d has exited", target->pid);
	if (!error)
		error = check_kind(target);
	if (!error)
		error = check_program(target);
	if (error)
		return error;
	/* Before the memory: an exec in between then shows. */
	target->auxv_size = read_auxv(target, target->auxv, sizeof(target->auxv));
	target->memfd = openat(target->procfd, "mem", O_RDWR | O_CLOEXEC);
	if (target->memfd < 0)
		return no_rights(target, errno, "the memory");
	look_for_seccomp(target);
	return NULL;
}

struct usp_error *target_open(pid_t pid, struct target **ret)
{
	struct target *target = calloc(1, sizeof(*target));
	if (!target)
		return &usp_error_no_memory;
	target->pid = pid;
	target->pidfd = target->procfd = target->taskfd = target->memfd = target->lockfd = -1;
	struct usp_error *error = open_process(target);
	if (error) {
		target_close(target);
		return error;
	}
	*ret = target;
	return NULL;
}

void target_close(struct target *target)
{
	if (!target)
		return;
	target_unlock(target);
	cleanup_closep(&target->memfd);
	cleanup_closep(&target->taskfd);
	cleanup_closep(&target->procfd);
	cleanup_closep(&target->pidfd);
	free(target);
}

/* ---- the lock ---- */

/*
 * flock() on /proc/PID: everybody who has it open has the same inode of procfs, and the kernel gives the lock
 * back with the last descriptor, so a controller that was killed leaves none behind. (A controller that sees
 * the process through another mount of procfs, in a container say, has another inode and is not kept out.)
 */
struct usp_error *target_lock(struct target *target, bool wait)
{
	if (target->lockfd >= 0)
		return NULL;
	_cleanup_close_ int fd = openat(target->taskfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return usp_error_errno(errno == ENOENT ? USP_GONE : USP_FAILED, errno,
				       "cannot lock process %d (%s)", target->pid, target->name);
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
		if (errno == EWOULDBLOCK)
			return usp_errorf(USP_BUSY,
					  "another usplice command is acting on process %d (%s); wait for it "
					  "or try again",
					  target->pid, target->name);
		if (errno != EINTR)
			return usp_error_errno(USP_FAILED, errno, "cannot lock process %d (%s)", target->pid,
					       target->name);
	}
	target->lockfd = fd;
	fd = -1;
	return NULL;
}

void target_unlock(struct target *target)
{
	if (!target)
		return;
	cleanup_closep(&target->lockfd);
	target->lockfd = -1;
}

/* ---- looking ---- */

bool target_executed(const struct target *target)
{
	uint8_t auxv[sizeof(target->auxv)];
	size_t size = read_auxv(target, auxv, sizeof(auxv));
	/* One that is empty belongs to an exec under way. */
	return size &&
	       (size != target->auxv_size || size <= AUXV_EMPTY || memcmp(auxv, target->auxv, size) != 0);
}

bool target_alive(const struct target *target)
{
	/* Readable once the whole thread group has exited. */
	struct pollfd p = {.fd = target->pidfd, .events = POLLIN};
	int r;
	do
		r = poll(&p, 1, 0);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

int target_read(const struct target *target, uint64_t address, void *buf, size_t n)
{
	if (address >= USER_END || n > USER_END - address)
		return -EFAULT;
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(target->memfd, (char *)buf + done, n - done, (off_t)(address + done));
		if (r > 0)
			done += (size_t)r;
		else if (r == 0)
			return -ESRCH; /* the address space is gone */
		else if (errno != EINTR)
			return errno == EIO ? -EFAULT : -errno;
	}
	return 0;
}

int target_openat(const struct target *target, int flags, const char *format, ...)
{
	char path[512];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	int fd;
	if (!strcmp(path, "task"))
		fd = openat(target->taskfd, ".", flags | O_CLOEXEC);
	else if (!strncmp(path, "task/", 5))
		fd = openat(target->taskfd, path + 5, flags | O_CLOEXEC);
	else
		fd = openat(target->procfd, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

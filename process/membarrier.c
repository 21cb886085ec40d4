// SPDX-License-Identifier: MIT
#include "process/membarrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

static struct usp_error *membarrier_call(struct remote *remote, uint64_t command, int64_t *result)
{
	const uint64_t args[6] = {command};
	return remote_syscall(remote, SYS_membarrier, args, result);
}

static struct usp_error *refused(int64_t result)
{
	return usp_error_errno(
		USP_UNSUPPORTED, (int)-result,
		"the kernel offers no core sync for the target (membarrier SYNC_CORE, Linux 4.16 or later)");
}

struct usp_error *membarrier_register(struct remote *remote)
{
	int64_t result;
	struct usp_error *error =
		membarrier_call(remote, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, &result);
	return error || !result ? error : refused(result);
}

struct usp_error *membarrier_sync(struct remote *remote)
{
	int64_t result;
	struct usp_error *error =
		membarrier_call(remote, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, &result);
	if (error || !result)
		return error;
	if (result != -EPERM)
		return refused(result);
	error = membarrier_register(remote);
	if (!error)
		error = membarrier_call(remote, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, &result);
	return error || !result ? error : refused(result);
}

/* SPDX-License-Identifier: MIT */
/* What error objects should be, for cmocka. Include after cmocka.h. */
#ifndef PTRACE_CHECK_H
#define PTRACE_CHECK_H

#include <string.h>

#include "base/error.h"

#define assert_fine(expression)                                                                 \
	do {                                                                                    \
		struct usp_error *error_ = (expression);                                        \
		if (error_)                                                                     \
			fail_msg("%s: %d %s", #expression, (int)error_->code, error_->message); \
	} while (0)

#define assert_refused(expression, expected_code, part)                                         \
	do {                                                                                    \
		struct usp_error *error_ = (expression);                                        \
		if (!error_)                                                                    \
			fail_msg("%s: was not refused", #expression);                           \
		if (error_->code != (expected_code) || !strstr(error_->message, part))          \
			fail_msg("%s: %d %s", #expression, (int)error_->code, error_->message); \
		usp_error_destroy(error_);                                                      \
	} while (0)

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a payload says about itself: the "key=value" strings of .usplice.info, and its build-id note. Every
 * key once, none unknown (but "x-…", which is anybody's).
 */
#ifndef PAYLOAD_INFO_H
#define PAYLOAD_INFO_H

#include "payload/file.h"

#define PAYLOAD_FORMAT_VERSION 1 /* as USPLICE_FORMAT_VERSION */

/* section: .usplice.info, or NULL when there is none. Strings of payload point into the file. */
_must_check_ struct usp_error *payload_info_read(struct payload *payload,
						 const struct payload_section *section, bool finished);
_must_check_ struct usp_error *payload_build_id_read(struct payload *payload, bool finished);

/* Whether a payload may be called that: 1 to 63 of [A-Za-z0-9._+-], not beginning with '.' or '-'. NULL, or
 * why not. */
const char *payload_name_check(const char *name);

#endif

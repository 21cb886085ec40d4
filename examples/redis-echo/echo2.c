/* SPDX-License-Identifier: MIT */
/* The second payload for ECHO: takes the place of the first, and counts its calls in data of its own. */
#include <usplice/payload.h>

USPLICE_NAME("echo2");
USPLICE_VERSION("2");
USPLICE_DESCRIPTION("demo: ECHO is patched again, and counts");

struct client;
void addReplyBulkCString(struct client *c, const char *s);
int snprintf(char *buffer, unsigned long size, const char *format, ...);

static unsigned long calls;

static void echo_counted(struct client *c)
{
	char answer[64];
	snprintf(answer, sizeof(answer), "patched again: call %lu", ++calls);
	addReplyBulkCString(c, answer);
}
USPLICE_REPLACE(echoCommand, echo_counted);

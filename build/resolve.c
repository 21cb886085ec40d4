// SPDX-License-Identifier: MIT
#include "build/resolve.h"

#include <string.h>

#include "build/log.h"

void resolver_deinit(struct resolver *resolver)
{
	if (resolver->opened)
		libraries_close(&resolver->libraries);
	resolver->opened = false;
}

static struct usp_error *check_tls(const struct payload_reference *reference, bool tls, const char *where)
{
	if (reference->tls == tls)
		return NULL;
	return usp_errorf(USP_MISMATCH,
			  "%s is %sthread-local in %s and %s in the payload: declare it as it is there",
			  reference->name, tls ? "" : "not ", where, reference->tls ? "is" : "is not");
}

static struct usp_error *in_process(const struct resolver *resolver,
				    const struct payload_reference *reference)
{
	struct resolved resolved = {0};
	struct usp_error *error =
		symbol_resolve(resolver->against->modules, resolver->against->module, reference->name,
			       reference->file, reference->version, &resolved);
	return error ? error : check_tls(reference, resolved.type == STT_TLS, resolver->against->name);
}

/* A program, as against a library, whose names a program may bring. */
static bool is_program(const struct module *module)
{
	for (size_t i = 0; i < module->n_phdr; i++) {
		if (module->phdr[i].p_type == PT_INTERP)
			return true;
	}
	return module->ehdr.e_type == ET_EXEC;
}

/* The error is what the module said: it has the nearest names in it. */
static struct usp_error *not_found(const struct resolver *resolver, const struct payload_reference *reference,
				   struct usp_error *error)
{
	const struct libraries *libraries = &resolver->libraries;
	if (!*libraries->missing) {
		struct usp_error *full =
			usp_errorf(USP_NOT_FOUND, "%s%s%s%s", error->message,
				   *libraries->found ? "; nor is it in " : "", libraries->found,
				   is_program(resolver->against->module)
					   ? ""
					   : " (build with --target PID if the program brings it)");
		usp_error_destroy(error);
		return full;
	}
	build_log(resolver->options, USP_LOG_WARNING,
		  "%s is not in %s; it may be in what is not found here (%s): the upload will tell, and "
		  "--target PID tells now",
		  reference->name, resolver->against->name, libraries->missing);
	usp_error_destroy(error);
	return NULL;
}

static struct usp_error *in_file(struct resolver *resolver, const struct payload_reference *reference)
{
	struct module *module = resolver->against->module;
	struct symbol symbol;
	struct usp_error *error = symbol_find(module, reference->name, reference->file, STT_NOTYPE, &symbol);
	if (!error)
		return check_tls(reference, symbol.type == STT_TLS, resolver->against->name);
	if (error->code == USP_AMBIGUOUS && !reference->file)
		return usp_error_prefix(error, "say which one with USPLICE_SYMBOL_IN(\"FILE.c\", %s)",
					reference->name);
	if (error->code != USP_NOT_FOUND || reference->file)
		return error;
	if (module_imports(module, reference->name)) {
		usp_error_destroy(error);
		return NULL;
	}
	if (!resolver->opened) {
		struct usp_error *failed = libraries_open(module, &resolver->libraries);
		if (failed) {
			usp_error_destroy(error);
			return failed;
		}
		resolver->opened = true;
	}
	if (libraries_export(&resolver->libraries, reference->name)) {
		usp_error_destroy(error);
		return NULL;
	}
	return not_found(resolver, reference, error);
}

struct usp_error *resolve_reference(void *context, const struct payload_reference *reference,
				    struct payload_value *value)
{
	struct resolver *resolver = context;
	struct usp_error *error = reference->by_address	       ? NULL
				  : resolver->against->modules ? in_process(resolver, reference)
							       : in_file(resolver, reference);
	if (error && reference->weak && error->code == USP_NOT_FOUND) {
		usp_error_destroy(error);
		error = NULL;
	}
	if (error)
		return error;
	*value = (struct payload_value){
		.address = resolver->address, .tls_module = 1, .tls_static = true, .tls_tpoff = -4096};
	return NULL;
}

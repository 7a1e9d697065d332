// The calls into libsolv that package solve makes. What a function hands out through a pointer to a
// pointer is malloc'ed: the caller frees it.
#ifndef MARINER_SOLVE_GLUE_H
#define MARINER_SOLVE_GLUE_H

#include <stddef.h>

typedef struct glue_pool glue_pool;

// What a rule of a problem says: libsolv's kind, the two packages (0 if there is none), the
// dependency (0 likewise), the place in the list of jobs it stems from (-1 likewise).
typedef struct {
	int problem, kind, from, to, dep, job;
} glue_info;

typedef struct {
	int solved;
	int count; // of ids if it was solved, else of infos
	int *ids;
	glue_info *infos;
	int request; // the package that stands for the request's own dependencies
} glue_result;

typedef struct {
	const int *jobs; // for each job: the number of its candidates, then their ids
	size_t njobs;    // ints in jobs
	const char *needs; // dependencies, encoded as in glue_add
	size_t nneeds;   // bytes in needs
	const int *excluded;
	size_t nexcluded;
	int weak;
} glue_request;

enum { GLUE_OK = 0, GLUE_BAD_DEP = 1, GLUE_NO_SOLVER = 2, GLUE_NO_RPM = 3, GLUE_NO_MEMORY = 4 };

int glue_new(const char *arch, glue_pool **out);
void glue_free(glue_pool *g);

// glue_add adds a repository of encoded packages; bad is the place of a dependency that does not
// parse, as an offset into data. The packages' ids follow each other from first on.
int glue_add(glue_pool *g, const char *name, int priority, int installed, const char *data, size_t size, int *first, size_t *bad);
// glue_finish is called once, after the last glue_add.
void glue_finish(glue_pool *g);
// glue_fits says whether a package is of an architecture that can be installed.
int glue_fits(glue_pool *g, int id);

// glue_dep is the id of an encoded dependency, 0 if it does not parse.
int glue_dep(glue_pool *g, const char *data, size_t size);
// glue_providers lists the packages that provide a dependency.
int glue_providers(glue_pool *g, int dep, int **out);
// glue_obsoleters lists the packages that obsolete one of ids.
int glue_obsoleters(glue_pool *g, const int *ids, size_t n, int **out);
// glue_text is a dependency as text; it is valid until the next calls.
const char *glue_text(glue_pool *g, int dep);

int glue_solve(glue_pool *g, const glue_request *r, glue_result *out);
int glue_evrcmp(glue_pool *g, const char *a, const char *b);

#endif

/* What is asked of a compiler beyond C99, where it can do it. */
#ifndef SMCU_COMPILER_H
#define SMCU_COMPILER_H

/* Runs once per model: made small rather than fast. */
#if defined(__GNUC__)
#define SMCU_COLD __attribute__((cold))
#else
#define SMCU_COLD
#endif

#endif

/* Version of the firmware: the same as the Python package's. */
#ifndef SMCU_VERSION_H
#define SMCU_VERSION_H

#define SMCU_FW_VERSION "0.1.0"

#endif

package device

import "C" // compiles memory_linux.c into the program

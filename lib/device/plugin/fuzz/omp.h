// The part of OpenMP that ../convolve.c uses. clang comes without the header.
void omp_set_num_threads(int threads);

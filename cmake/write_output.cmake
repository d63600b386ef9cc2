# cmake -DOUT=FILE "-DCOMMAND=program;arguments…" -P write_output.cmake: what the program prints, as a file.
get_filename_component(folder ${OUT} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
execute_process(COMMAND ${COMMAND} OUTPUT_FILE ${OUT}.new RESULT_VARIABLE code)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${COMMAND} has ended with ${code}")
endif()
file(RENAME ${OUT}.new ${OUT})

# Writes OUTPUT, the C file behind server/api/page_assets.h, from FILES (separated by |): run by the build as a script. The
# assembler copies the bytes (.incbin); a compiler takes seconds for a megabyte of numbers. Compressed copies lie beside.

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_txt "text/plain; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_webp "image/webp")

# Declares the bytes of a file as the array <symbol>, their number in <symbol>_n.
function(include_bytes symbol path)
  file(SIZE ${path} n)
  string(APPEND arrays "__asm__(\".pushsection .rodata\\n${symbol}: .incbin \\\"${path}\\\"\\n.popsection\");\n"
                       "extern const unsigned char ${symbol}[];\n")
  set(arrays "${arrays}" PARENT_SCOPE)
  set(${symbol}_n ${n} PARENT_SCOPE)
endfunction()

string(REPLACE "|" ";" FILES "${FILES}")
set(number 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  get_filename_component(end ${file} LAST_EXT)
  string(SUBSTRING ${end} 1 -1 end)
  if(NOT type_${end})
    message(FATAL_ERROR "${name}: a kind of file that the page cannot have")
  endif()
  file(SHA256 ${file} digest)
  string(SUBSTRING ${digest} 0 32 digest)
  set(bytes page_bytes_${number})
  include_bytes(${bytes} ${file})
  set(gzip "NULL")
  set(gzip_n 0)
  if(NOT end STREQUAL "webp")
    set(packed ${OUTPUT}.d/${name}.gz)
    execute_process(COMMAND ${CMAKE_COMMAND} -E make_directory ${OUTPUT}.d)
    execute_process(COMMAND gzip -9nc ${file} OUTPUT_FILE ${packed} COMMAND_ERROR_IS_FATAL ANY)
    set(gzip page_gzip_${number})
    include_bytes(${gzip} ${packed})
    set(gzip_n ${${gzip}_n})
  endif()
  string(APPEND rows "    {\"${name}\", \"${type_${end}}\", \"\\\"${digest}\\\"\", \"\\\"${digest}-gzip\\\"\", ${bytes}, ${gzip},\n"
                     "     ${${bytes}_n}, ${gzip_n}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "#include \"server/api/page_assets.h\"\n\n${arrays}\n"
                     "const struct page_asset page_assets[] = {\n${rows}};\n"
                     "const int n_page_assets = ${number};\n")
